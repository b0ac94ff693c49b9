# The KMS key, the role, the instance. Alarms are in alarms.tf. docs/operate.md says in which order.

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

# The key that guards the keyset. Deleting it closes every stored record for ever.
resource "aws_kms_key" "keyset" {
  description             = "${var.name}: releases the enclave's keyset to a measured image"
  key_usage               = "ENCRYPT_DECRYPT"
  deletion_window_in_days = 30
  enable_key_rotation     = true
  # Until the policy is there, KMS's own holds: the account's administrators, and no enclave.
  policy = var.key_policy_file == null ? null : file(var.key_policy_file)
  # KMS refuses a policy that leaves nobody who can change it, unless told that this is meant.
  bypass_policy_lockout_safety_check = var.key_policy_locks

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_kms_alias" "keyset" {
  name          = "alias/${var.name}-keyset"
  target_key_id = aws_kms_key.keyset.key_id
}

# The role has no permission for KMS: the key's policy has all that it needs.
resource "aws_iam_role" "parent" {
  name = "${var.name}-parent"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.${data.aws_partition.this.dns_suffix}" }
    }]
  })
}

resource "aws_iam_instance_profile" "parent" {
  name = "${var.name}-parent"
  role = aws_iam_role.parent.name
}

# A shell by Session Manager, in place of an open port.
resource "aws_iam_role_policy_attachment" "session_manager" {
  role       = aws_iam_role.parent.name
  policy_arn = "arn:${data.aws_partition.this.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_security_group" "parent" {
  name        = "${var.name}-parent"
  description = "Clients to the enclave; the enclave to the APIs that it calls"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = toset(var.client_cidrs)

  security_group_id = aws_security_group.parent.id
  description       = "TLS that ends in the enclave"
  cidr_ipv4         = each.value
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "anywhere" {
  security_group_id = aws_security_group.parent.id
  description       = "KMS, the control plane, and the APIs that are called"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}

resource "aws_instance" "parent" {
  ami                    = var.ami_id
  instance_type          = var.instance_type
  subnet_id              = var.subnet_id
  vpc_security_group_ids = [aws_security_group.parent.id]
  iam_instance_profile   = aws_iam_instance_profile.parent.name

  enclave_options {
    enabled = true
  }

  # Version 2 alone. One hop: no container on the instance gets the role's credentials.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    encrypted   = true
    volume_type = "gp3"
    volume_size = 30
  }

  user_data = templatefile("${path.module}/user-data.sh", {
    memory_mib = var.enclave_memory_mib
    cpu_count  = var.enclave_cpus
  })

  # The keyset lies on its disk. Back it up, then say so here.
  disable_api_termination = true

  tags = { Name = "${var.name}-parent" }
}

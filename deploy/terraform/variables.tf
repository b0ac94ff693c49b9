variable "name" {
  description = "Names what is made here, and begins the names of its parts."
  type        = string
  default     = "dauth"
}

variable "key_policy_file" {
  description = <<-TEXT
    The policy that `dauth kms-policy --json` printed. The key comes before its policy, which names the
    key by way of PCR16: leave it out at the first apply, and name it at the second.
  TEXT
  type        = string
  default     = null
}

variable "key_policy_locks" {
  description = "Whether key_policy_file is one of `dauth kms-policy --lock`. Once applied, nobody changes it again."
  type        = bool
  default     = false
}

variable "vpc_id" {
  description = "The network of the instance."
  type        = string
}

variable "subnet_id" {
  description = "The subnet of the instance. It needs a way to KMS, the control plane and the APIs that are called."
  type        = string
}

variable "ami_id" {
  description = "Amazon Linux 2023 for the architecture of the image."
  type        = string
}

variable "instance_type" {
  description = "A Nitro instance with enclaves, neither burstable nor bare metal. It has enclave_cpus, and a core for the host."
  type        = string
  default     = "m6i.2xlarge"

  validation {
    condition     = !can(regex("^(t[0-9]|a1|mac|u-)|\\.metal", var.instance_type))
    error_message = "This instance type has no enclaves."
  }
}

variable "client_cidrs" {
  description = "Who may connect to the enclave."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "enclave_memory_mib" {
  description = "Memory set aside for enclaves. During an upgrade two images run side by side."
  type        = number
  default     = 2048
}

variable "enclave_cpus" {
  description = "CPUs set aside for enclaves: an even number with hyper-threading. During an upgrade two images run side by side."
  type        = number
  default     = 4
}

variable "iam_region" {
  description = "The region where IAM tells of its changes: us-east-1, us-gov-west-1 or cn-north-1, by partition."
  type        = string
  default     = "us-east-1"
}

variable "alarm_email" {
  description = "Who is told of an alarm. The address confirms once for each of two topics."
  type        = string
}

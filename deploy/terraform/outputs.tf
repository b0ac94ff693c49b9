output "key_arn" {
  description = "kms.key_arn of the deployment configuration."
  value       = aws_kms_key.keyset.arn
}

output "role_arn" {
  description = "--role of `dauth kms-policy`."
  value       = aws_iam_role.parent.arn
}

output "account_id" {
  description = "--account of `dauth kms-policy`."
  value       = data.aws_caller_identity.this.account_id
}

output "instance_id" {
  description = "aws ssm start-session --target"
  value       = aws_instance.parent.id
}

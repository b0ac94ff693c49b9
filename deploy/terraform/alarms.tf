# Uses of the key that no enclave of ours makes, and changes of what guards it.
#
# CloudTrail hands each call to EventBridge as it happens, where a trail records management events (both
# kinds: KMS counts Decrypt as a read). What each pattern matches is tested: tests/tests/deploy.

locals {
  alarms = {
    use-without-attestation = "The key was used without an attestation document"
    use-by-another-role     = "The key was used by another role than the enclave's parents have"
    key-changed             = "The key's policy, grants or state were changed"
    use-denied              = "KMS refused a use of the key: an image or a role that its policy does not name"
    trail-changed           = "A trail was stopped or changed: the other alarms depend on it"
    alarms-changed          = "An alarm was changed or silenced: its rule, its target or its topic"
  }

  # Where IAM's events are: alarms-iam.tf. A rule sees its own region alone: each has one that watches the rest.
  iam_alarms = {
    role-changed   = "The parents' role or its trust was changed"
    alarms-changed = "An alarm was changed or silenced: its rule, its target or its topic"
  }

  rule_names     = jsonencode([for alarm in keys(local.alarms) : "${var.name}-${alarm}"])
  iam_rule_names = jsonencode([for alarm in keys(local.iam_alarms) : "${var.name}-iam-${alarm}"])
}

resource "aws_sns_topic" "alarms" {
  name = "${var.name}-alarms"
}

resource "aws_sns_topic_subscription" "email" {
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

data "aws_iam_policy_document" "alarms" {
  statement {
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms.arn]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

resource "aws_sns_topic_policy" "alarms" {
  arn    = aws_sns_topic.alarms.arn
  policy = data.aws_iam_policy_document.alarms.json
}

resource "aws_cloudwatch_event_rule" "alarms" {
  for_each = local.alarms

  name        = "${var.name}-${each.key}"
  description = each.value
  # Reads too, which `ENABLED` leaves out.
  state = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"

  event_pattern = templatefile("${path.module}/alarms/${each.key}.json", {
    key_arn    = aws_kms_key.keyset.arn
    role_arn   = aws_iam_role.parent.arn
    role_name  = aws_iam_role.parent.name
    rule_names = local.rule_names
    topic_arn  = aws_sns_topic.alarms.arn
  })
}

resource "aws_cloudwatch_event_target" "alarms" {
  for_each = local.alarms

  rule = aws_cloudwatch_event_rule.alarms[each.key].name
  arn  = aws_sns_topic.alarms.arn

  input_transformer {
    input_paths = {
      action = "$.detail.eventName"
      at     = "$.detail.eventTime"
      source = "$.detail.sourceIPAddress"
      who    = "$.detail.userIdentity.arn"
    }
    input_template = "\"${each.value}: <action> by <who> from <source> at <at>. docs/operate.md, Incidents.\""
  }
}

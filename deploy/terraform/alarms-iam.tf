# Alarms on changes of IAM. IAM is one for all regions, and EventBridge has its events in one region alone:
# a rule anywhere else would never match. A topic has to be in its rule's region.

provider "aws" {
  alias  = "iam_region"
  region = var.iam_region
}

resource "aws_sns_topic" "iam_alarms" {
  provider = aws.iam_region

  name = "${var.name}-iam-alarms"
}

resource "aws_sns_topic_subscription" "iam_email" {
  provider = aws.iam_region

  topic_arn = aws_sns_topic.iam_alarms.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

data "aws_iam_policy_document" "iam_alarms" {
  statement {
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.iam_alarms.arn]

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

resource "aws_sns_topic_policy" "iam_alarms" {
  provider = aws.iam_region

  arn    = aws_sns_topic.iam_alarms.arn
  policy = data.aws_iam_policy_document.iam_alarms.json
}

resource "aws_cloudwatch_event_rule" "iam_alarms" {
  for_each = local.iam_alarms
  provider = aws.iam_region

  name        = "${var.name}-iam-${each.key}"
  description = each.value
  # Reads too, which `ENABLED` leaves out.
  state = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"

  event_pattern = templatefile("${path.module}/alarms/${each.key}.json", {
    key_arn    = aws_kms_key.keyset.arn
    role_arn   = aws_iam_role.parent.arn
    role_name  = aws_iam_role.parent.name
    rule_names = local.iam_rule_names
    topic_arn  = aws_sns_topic.iam_alarms.arn
  })
}

resource "aws_cloudwatch_event_target" "iam_alarms" {
  for_each = local.iam_alarms
  provider = aws.iam_region

  rule = aws_cloudwatch_event_rule.iam_alarms[each.key].name
  arn  = aws_sns_topic.iam_alarms.arn

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

//! The untrusted host process: ingress relay, egress relay, host services

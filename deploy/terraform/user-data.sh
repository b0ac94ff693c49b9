#!/bin/bash
# The first boot: nitro-cli, and what is set aside for enclaves. Everything else is docs/operate.md.
set -euo pipefail
dnf install -y aws-nitro-enclaves-cli
cat > /etc/nitro_enclaves/allocator.yaml <<'YAML'
---
memory_mib: ${memory_mib}
cpu_count: ${cpu_count}
YAML
systemctl enable --now nitro-enclaves-allocator.service

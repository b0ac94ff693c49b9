# The programs of a host: dauth, dauth-parent, dauth-control-plane. Nothing here is trusted by the
# enclave or by its clients; the enclave's own image is built by Dockerfile.enclave.
#
#   docker build \
#     --build-arg RUST_IMAGE=docker.io/library/rust:1.95-slim-bookworm@sha256:… \
#     --build-arg RUNTIME_IMAGE=docker.io/library/debian:bookworm-slim@sha256:… -t dauth .
#
# There are no default base images: a digest is what pins one, and a tag may move.
ARG RUST_IMAGE
ARG RUNTIME_IMAGE

FROM ${RUST_IMAGE} AS build
RUN command -v cc >/dev/null \
    || { apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev; }
WORKDIR /dauth
COPY . .
# Another profile is for tests of this file.
ARG PROFILE=release
RUN cargo build --locked --profile "${PROFILE}" --target-dir /build \
      --package dauth --bin dauth \
      --package dauth-parent --bin dauth-parent \
      --package dauth-control-plane --bin dauth-control-plane \
    && folder="/build/$(test "${PROFILE}" = dev && echo debug || echo "${PROFILE}")" \
    && mkdir -p /out \
    && cp "${folder}/dauth" "${folder}/dauth-parent" "${folder}/dauth-control-plane" /out/

FROM ${RUNTIME_IMAGE}
COPY --from=build /out/ /usr/local/bin/
# No program here needs root. The parent opens /dev/vsock: give the group that may by --group-add.
USER 65532:65532
CMD ["dauth", "--help"]

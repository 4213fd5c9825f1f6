# syntax=docker/dockerfile:1

# One static binary in an empty image: no shell, no package, nothing to patch but the program itself.
#
#   docker build -t delius-sidecar:dev --build-arg REVISION="$(git rev-parse HEAD)" .
#
# Static means musl here: with glibc, name resolution would load shared objects at run time that an empty image lacks.
# The allocator is mimalloc either way, so musl's slower one does not count.

FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends musl-tools \
    && rm -rf /var/lib/apt/lists/* \
    && rustup target add "$(uname -m)-unknown-linux-musl"
# A system AWS-LC would be linked where one is found: the crate's own is always meant.
ENV AWS_LC_SYS_USE_SYSTEM=0
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    target="$(uname -m)-unknown-linux-musl" \
    && cargo build --locked --release --target "$target" \
    && install -D "target/$target/release/delius-sidecar" /image/delius-sidecar
# `trust = "system"` reads these; a private bundle (the normal case towards NDH) does not.
RUN install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt

# The binary starts where nothing else is: what is dynamic by mistake fails here and not in the cluster.
FROM scratch AS proof
COPY --from=build /image/ /
RUN ["/delius-sidecar", "--version"]

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="delius-sidecar" \
      org.opencontainers.image.description="Mutual-TLS sidecar between the allocation manager and the Delius API" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=proof /delius-sidecar /delius-sidecar
COPY --from=proof /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# Any UID works; a number, so that runAsNonRoot can be checked without a passwd file.
USER 65532:65532
# Probes and metrics. The application's port is on loopback and not listed.
EXPOSE 9090
ENTRYPOINT ["/delius-sidecar"]
CMD ["run"]

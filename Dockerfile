# griddle's images: docker build --target coordinator|worker|worker-slim|client -t griddle-coordinator .
# Each runs as uid 65532 with a read-only root: everything it writes goes below /var/lib/griddle. What is in an image is listed in
# the SPDX document its label dev.griddle.sbom names.
FROM debian:12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends make
WORKDIR /src
COPY scripts scripts
RUN scripts/deps.sh build
COPY . .
RUN make -j"$(nproc)" && make install DESTDIR=/out PREFIX=/usr && \
    scripts/runtime-packages.sh /out/usr/bin/griddle /out/usr/bin/griddle-coordinator /out/usr/bin/griddle-worker > /out/packages && \
    install -D scripts/sbom.sh scripts/image-tidy.sh -t /tools && install /out/packages /tools/packages

FROM debian:12-slim AS base
ARG VERSION=0.1.0
ARG SOURCE_DATE_EPOCH=0
COPY --from=build /tools /tools
RUN apt-get update && xargs apt-get install -y --no-install-recommends < /tools/packages && \
    groupadd -g 65532 griddle && useradd -u 65532 -g 65532 -d /var/lib/griddle -s /usr/sbin/nologin griddle && \
    install -d -o 65532 -g 65532 /var/lib/griddle && /tools/image-tidy.sh griddle "$VERSION"
ENV GRIDDLE_STATE_DIR=/var/lib/griddle GRIDDLE_RUNTIME_DIR=/var/lib/griddle/run
LABEL dev.griddle.sbom=/usr/share/griddle/sbom.spdx.json org.opencontainers.image.title=griddle org.opencontainers.image.version=$VERSION org.opencontainers.image.licenses=Apache-2.0
VOLUME /var/lib/griddle
WORKDIR /var/lib/griddle
USER 65532:65532

FROM base AS coordinator
COPY --from=build /out/usr/bin/griddle-coordinator /out/usr/bin/griddle /usr/bin/
EXPOSE 7420 7421
ENTRYPOINT ["/usr/bin/griddle-coordinator", "--state", "/var/lib/griddle/coordinator"]

# Batch jobs alone, or the base of an image with compilers of one's own.
FROM base AS worker-slim
COPY --from=build /out/usr/bin/griddle-worker /out/usr/bin/griddle /usr/bin/
ENTRYPOINT ["/usr/bin/griddle-worker", "--state", "/var/lib/griddle/worker"]

# A worker runs the compilers of its own image: clients need the same packages, found by the digest of their bytes.
FROM base AS compilers
USER 0
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ libc6-dev make && /tools/image-tidy.sh griddle "$VERSION"
USER 65532:65532

FROM compilers AS worker
USER 0
RUN apt-get update && apt-get install -y --no-install-recommends stress-ng && /tools/image-tidy.sh griddle "$VERSION"
USER 65532:65532
COPY --from=build /out/usr/bin/griddle-worker /out/usr/bin/griddle /usr/bin/
ENTRYPOINT ["/usr/bin/griddle-worker", "--state", "/var/lib/griddle/worker"]

FROM compilers AS client
COPY --from=build /out/usr /usr
ENTRYPOINT ["/usr/bin/griddle"]

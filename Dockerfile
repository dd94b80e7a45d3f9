# griddle's images: docker build --target coordinator|worker|client -t griddle-coordinator .
# Each runs as uid 65532 with a read-only root: everything it writes goes below /var/lib/griddle.
FROM debian:12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends make
WORKDIR /src
COPY scripts scripts
RUN scripts/deps.sh build
COPY . .
RUN make -j"$(nproc)" && make install DESTDIR=/out PREFIX=/usr && \
    scripts/runtime-packages.sh /out/usr/bin/griddle /out/usr/bin/griddle-coordinator /out/usr/bin/griddle-worker > /out/packages

FROM debian:12-slim AS base
COPY --from=build /out/packages /tmp/packages
RUN apt-get update && xargs apt-get install -y --no-install-recommends < /tmp/packages && \
    rm -rf /tmp/packages /var/lib/apt/lists/* && \
    groupadd -g 65532 griddle && useradd -u 65532 -g 65532 -d /var/lib/griddle -s /usr/sbin/nologin griddle && \
    install -d -o 65532 -g 65532 /var/lib/griddle
ENV GRIDDLE_STATE_DIR=/var/lib/griddle GRIDDLE_RUNTIME_DIR=/var/lib/griddle/run
VOLUME /var/lib/griddle
WORKDIR /var/lib/griddle
USER 65532:65532

FROM base AS coordinator
COPY --from=build /out/usr/bin/griddle-coordinator /out/usr/bin/griddle /usr/bin/
EXPOSE 7420 7421
ENTRYPOINT ["/usr/bin/griddle-coordinator", "--state", "/var/lib/griddle/coordinator"]

# A worker runs the compilers of its own image: clients need the same packages, found by the digest of their bytes.
FROM base AS worker
USER 0
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ libc6-dev stress-ng && rm -rf /var/lib/apt/lists/*
USER 65532:65532
COPY --from=build /out/usr/bin/griddle-worker /out/usr/bin/griddle /usr/bin/
ENTRYPOINT ["/usr/bin/griddle-worker", "--state", "/var/lib/griddle/worker"]

FROM base AS client
USER 0
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ libc6-dev make && rm -rf /var/lib/apt/lists/*
USER 65532:65532
COPY --from=build /out/usr /usr
ENTRYPOINT ["/usr/bin/griddle"]

# Sallygate in a container: a proxy and the control service in one process, over the data directory
# /data. `tests/compose.rs` holds this file to what the program knows; it builds no image.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake g++ make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN cargo build --profile dist --locked -p sallygate

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --home-dir /data sallygate \
    && install -d -o sallygate -g sallygate -m 0700 /data
COPY --from=build /source/target/dist/sallygate /usr/local/bin/sallygate
ENV SALLYGATE_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8089 8090 8091
# Asks the operator's listener with the token of the data directory.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["sallygate", "status"]
ENTRYPOINT ["sallygate"]
CMD ["up", "--foreground"]

# res2netd on Debian 13: built in the first stage, run in the second with the program, the libraries
# that it links, and the model.
#
#   docker build -t res2netd . && docker run -p 8080:8080 res2netd

FROM debian:trixie-slim AS build
COPY deploy/setup.sh /src/deploy/
WORKDIR /src
RUN sh -c '. deploy/setup.sh && install_packages $build_packages'
COPY . .
RUN meson setup /build -Dtests=false --buildtype=release --strip && ninja -C /build
# The program's shared libraries at their paths, without what every Debian image has (libc and kin).
RUN ldd /build/server/res2netd | awk '$3 ~ /^\// {print $3}' \
    | grep -vE '/(libc|libm|ld-linux[^/]*)\.so' \
    | xargs -I{} sh -c 'install -D -m 755 "$(readlink -f {})" "/libraries/usr/lib/res2netd/$(basename {})"'

FROM debian:trixie-slim
COPY --from=build /libraries/ /
COPY --from=build /build/server/res2netd /usr/bin/res2netd
COPY models/demo /models/demo
RUN echo /usr/lib/res2netd > /etc/ld.so.conf.d/res2netd.conf && ldconfig
USER 65534:65534
# OMP_WAIT_POLICY: idle OpenMP threads sleep instead of spinning beside busy workers.
ENV RES2NETD_LISTEN=0.0.0.0:8080 RES2NETD_MODEL=/models/demo RES2NETD_LOG_FORMAT=json \
    OMP_WAIT_POLICY=passive
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["res2netd", "health"]
ENTRYPOINT ["res2netd"]
CMD ["serve"]

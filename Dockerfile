# res2netd, built on Debian 13; the image holds the program, the libraries that it links, a font, the
# model, and nothing else: no shell, no package manager.
#
#   docker build -t res2netd . && docker run -p 8080:8080 res2netd

FROM debian:trixie-slim AS build
COPY deploy/setup.sh /src/deploy/
WORKDIR /src
RUN sh -c '. deploy/setup.sh && install_packages $build_packages'
COPY . .
RUN meson setup /build -Dtests=false --prefix=/usr --strip && DESTDIR=/image ninja -C /build install
RUN ldd /image/usr/bin/res2netd | grep -o '/[^ ]*' \
    | xargs -I{} sh -c 'install -D -m 755 "$(readlink -f {})" "/image{}"'
# what labels are drawn with
RUN install -D -m 644 -t /image/usr/share/fonts/truetype/dejavu \
    /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf

FROM scratch
COPY --from=build /image/ /
COPY models/demo /models/demo
USER 65534:65534
# OMP_WAIT_POLICY: idle OpenMP threads sleep instead of spinning beside busy workers.
ENV RES2NETD_LISTEN=0.0.0.0:8080 RES2NETD_MODEL=/models/demo RES2NETD_LOG_FORMAT=json \
    OMP_WAIT_POLICY=passive
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/usr/bin/res2netd", "health"]
ENTRYPOINT ["/usr/bin/res2netd"]
CMD ["serve"]

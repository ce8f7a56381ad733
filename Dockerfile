# One image for every process; docker-compose.yml names the command of each.

FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements/server.lock requirements/server.lock
RUN python -m venv /opt/fhir-server \
 && /opt/fhir-server/bin/pip install --no-cache-dir --require-hashes -r requirements/server.lock
COPY . .
RUN /opt/fhir-server/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
COPY --from=build /opt/fhir-server /opt/fhir-server
RUN useradd --system --create-home --home-dir /var/lib/fhir-server fhir-server
USER fhir-server
WORKDIR /var/lib/fhir-server
ENV PATH=/opt/fhir-server/bin:$PATH PYTHONUNBUFFERED=1 FHIR_SERVER_LOG_FORMAT=json
EXPOSE 8000
ENTRYPOINT ["fhir-server"]
CMD ["api"]

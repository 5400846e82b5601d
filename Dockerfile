# One image for every service of compose.yaml and for the pools of prefect.yaml: the locked
# environment and this code. Data and stores are not in it; see docs/guides/machines.md.
FROM python:3.11-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 unseen

COPY requirements.lock /tmp/requirements.lock
RUN pip install --no-cache-dir --require-hashes --requirement /tmp/requirements.lock

WORKDIR /opt/unseen
COPY pyproject.toml README.md ./
COPY flows flows
COPY tasks tasks
COPY models models
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .

ENV DO_NOT_TRACK=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_LOGGING_EXTRA_LOGGERS=tasks,flows,models \
    PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW=ignore \
    DVC_NO_ANALYTICS=1 \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GIT_CONFIG_COUNT=1 \
    GIT_CONFIG_KEY_0=safe.directory \
    GIT_CONFIG_VALUE_0=/repository

USER unseen
WORKDIR /repository
ENTRYPOINT ["tini", "--"]
CMD ["unseen", "--help"]

# Two images of the locked environments and this code. Data and stores are in neither; see
# docs/guides/machines.md.

# Serves what 'unseen export' wrote, without torch and MLflow: the service 'edge' of compose.yaml.
FROM python:3.11-slim AS edge

RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 unseen \
    && install --directory --owner=unseen /srv/.unseen

COPY tasks/serving/requirements.lock /tmp/requirements.lock
RUN pip install --no-cache-dir --require-hashes --requirement /tmp/requirements.lock

COPY flows /opt/unseen/flows
COPY tasks /opt/unseen/tasks
COPY models /opt/unseen/models
RUN python -m compileall -q /opt/unseen

ENV PYTHONPATH=/opt/unseen \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1

USER unseen
WORKDIR /srv
ENTRYPOINT ["tini", "--", "python", "-m", "flows.cli"]
CMD ["--help"]

# All else: every other service of compose.yaml, and the pools of prefect.yaml.
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

# syntax=docker/dockerfile:1
# The image of every Ray pod, pinned by constraints.txt:
#   docker build --target cpu  -t plait:0.1.0 .
#   docker build --target cuda -t plait:0.1.0-cuda .
# k8s/rehearse_image.py does the steps of the target cpu in a clean folder, where no Docker runs.

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/plait
ENV PATH=/opt/plait/bin:$PATH
WORKDIR /src
COPY constraints.txt pyproject.toml ./
COPY .ci/install-torch .ci/

FROM build AS build-cpu
RUN .ci/install-torch python constraints.txt
COPY LICENSE README.md ./
COPY platform platform
COPY jobs jobs
COPY serve serve
RUN pip install --constraint constraints.txt "setuptools>=80" ".[demo,openvino,s3]" \
    && find /opt/plait -name __pycache__ -prune -exec rm -rf {} +

FROM build AS build-cuda
# The plain build of torch, which brings CUDA's libraries with it; the node brings the driver.
RUN pip install "torch==$(sed -n 's/^torch==//p' constraints.txt)"
COPY LICENSE README.md ./
COPY platform platform
COPY jobs jobs
COPY serve serve
RUN pip install --constraint constraints.txt "setuptools>=80" ".[demo,deepspeed,gpu,s3]" \
    && find /opt/plait -name __pycache__ -prune -exec rm -rf {} +

FROM python:3.11-slim-bookworm AS run
# curl: probes; wget: KubeRay's own probes; gcc: the CPU kernels are compiled for the machine that they run on.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends curl gcc libc6-dev libgomp1 wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --home-dir /var/lib/plait --create-home plait
ENV PATH=/opt/plait/bin:$PATH \
    PLAIT_HOME=/var/lib/plait \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/plait
USER 1000
CMD ["plait", "--help"]

FROM run AS cpu
COPY --from=build-cpu /opt/plait /opt/plait

FROM run AS cuda
COPY --from=build-cuda /opt/plait /opt/plait

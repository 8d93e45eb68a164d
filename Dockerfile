# This project and all that it needs: a study on one machine (docs/install.md) or on Kubernetes (docs/cluster.md), by its base.
ARG BASE=python:3.13
FROM ${BASE}
ARG OWNER=root
COPY --chown=${OWNER} . /cae-study
WORKDIR /cae-study
RUN pip install --no-cache-dir -c constraints.txt -e .
CMD ["cae-study", "run", "--preset", "quick"]

# docker build -t afl-sim .
# docker run --rm -v "$PWD/runs:/afl_sim/runs" afl-sim        the demo; results appear in ./runs
FROM python:3.11-slim-bookworm

RUN apt-get update \
 && apt-get install --yes --no-install-recommends make \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /afl_sim
COPY . .
RUN make install

CMD ["make", "demo"]

# The command lipsound2 on the CPU, with the models that ship:
#
#   docker build -t lipsound2 .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/clips" lipsound2 speak clip.mp4
#
# pip's usual torch for Linux holds CUDA libraries, some GB that this image does not use. Where an index has a CPU build,
# name it: --build-arg PIP_OPTIONS="--extra-index-url URL"
FROM python:3.11-slim
ARG PIP_OPTIONS=
WORKDIR /opt/lipsound2
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY tools/constraints.txt tools/
COPY lipsound2 lipsound2
RUN pip install --no-cache-dir $PIP_OPTIONS --constraint tools/constraints.txt ".[face]"
# Any user may run it: what matplotlib and torch cache goes to a folder that each can write.
ENV HOME=/tmp OMP_WAIT_POLICY=PASSIVE
WORKDIR /clips
ENTRYPOINT ["lipsound2"]
CMD ["--help"]

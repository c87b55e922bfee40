# A server without torch, for the exported classifiers that lie beside this file. Nobody has built it yet:
# it was written where that cannot be done.
#
#   bakeoff export RUN --to onnx --out model.onnx
#   docker build -t my-classifier .
#   docker run --rm -p 127.0.0.1:8000:8000 -e BAKEOFF_TOKEN=secret my-classifier
#
# Without BAKEOFF_TOKEN whoever reaches the port can use it. Several models stand side by side.
FROM python:3.12-slim

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
# The group "server" of pyproject.toml is what the server needs; the package itself asks for torch.
RUN pip install --upgrade "pip>=25.1" && pip install --group server --constraint constraints.txt
COPY src ./src
RUN pip install --no-deps .

# An index of training images (bakeoff export --index) is copied with its model.
COPY *.onnx *.index.npz /models/
RUN useradd --system --uid 10001 --no-create-home bakeoff
USER 10001

EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
# SIGTERM, which docker stop sends, answers what has come and then ends.
CMD ["sh", "-c", "exec bakeoff serve /models/*.onnx --host 0.0.0.0 --port 8000"]

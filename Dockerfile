# stgraph on a CPU: docker build -t stgraph . && docker run --rm -v "$PWD:/work" stgraph compare
FROM python:3.12-slim
COPY . /src
RUN pip install --no-cache-dir '/src[fast,arrow,pandas,video,viz]' && rm -rf /src \
 && useradd --create-home stgraph && mkdir /work && chown stgraph /work
USER stgraph
WORKDIR /work
ENTRYPOINT ["stgraph"]

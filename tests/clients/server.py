"""The API over real models and an embedded Milvus in one process, without Ray, for trials of client packages.

python tests/clients/server.py MODEL PORT PAGES_PORT PAGE_ORIGIN

It listens twice: pages of an origin in a browser may ask at the second port, and no page at the first.
"""

import asyncio
import sys

import uvicorn
from in_process import deployed

from plait.serve.api.services import deployments
from plait.serve.ingress import build_api
from plait.serve.messages.arguments import AppArguments, LLMArguments, RetrievalArguments


async def serve(model: str, port: int, pages_port: int, page_origin: str) -> None:
    """Answer on the loopback address until a signal ends the process."""
    retrieval = RetrievalArguments(collection="trials")
    arguments = AppArguments(llm=LLMArguments(model=model), retrieval=retrieval, default_max_tokens=128)
    there = await deployed(arguments, retrieval)
    servers = []
    for at, origins in ((port, ()), (pages_port, (page_origin,))):
        api = build_api(cors_origins=origins)
        api.dependency_overrides[deployments] = lambda: there
        servers.append(uvicorn.Server(uvicorn.Config(api, port=at, log_level="warning", access_log=True)))
    await asyncio.gather(*(server.serve() for server in servers))


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))

"""Ray Serve with one deployment that answers with one word: how long it takes until it does, and what it takes then.

Prints a line when its answer has come over HTTP, and stays until its input ends. In: the port, and a folder for Ray.
"""

import sys
import urllib.request

import ray
from ray import serve


@serve.deployment
class Word:
    def __call__(self) -> str:
        return "ready"


def main(port: int, folder: str) -> None:
    ray.init(_temp_dir=folder, logging_level="ERROR", log_to_driver=False)
    serve.start(http_options={"port": port})
    serve.run(Word.bind())
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        print(answer.read().decode(), flush=True)
    sys.stdin.read()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])

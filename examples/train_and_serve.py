"""Train a LoRA adapter on questions and answers, serve it beside its base model, and ask both.

    python examples/train_and_serve.py train.jsonl "how long is the warranty?"

A line of the file is {"question": …, "answer": …}. More arguments set fields of the train recipe (train.epochs=1) or,
after `serve.`, of the served application.
"""

import sys

from plait.local.ray_head import connect

connect()  # before anything imports Ray: it sets how Ray authenticates

from plait.chat_client import ask
from plait.jobs.train.job import train
from plait.recipes import TrainRecipe, load_recipe
from plait.serve.deploy import deploy, read_config, take_down


def main(examples: str, question: str, *overrides: str) -> None:
    """Train, deploy, ask, take down."""
    serving = [each.removeprefix("serve.") for each in overrides if each.startswith("serve.")]
    training = [each for each in overrides if not each.startswith("serve.")]

    recipe = load_recipe(TrainRecipe, "lora", ["name=example", f"data.train={examples}", *training])
    adapter = train(recipe, reuse=True)
    print(f"{adapter.key} is registered")

    config = read_config("local", [f"llm.model={recipe.model.source}", "retrieval=null", *serving])
    url = deploy(config, on_progress=print)
    for model in ("base", "example"):
        print(f"{model}: {ask(url, model, question, max_tokens=48).text}")
    take_down()


if __name__ == "__main__":
    main(*sys.argv[1:])

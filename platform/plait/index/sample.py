"""Some of an index's documents, for questions about them."""

import random

from plait.index.conditions import And, Equals, Field, one_of_each
from plait.index.stores.store import StoreCollection


def texts_at_random(collection: StoreCollection, tenant: str, count: int) -> dict[str, str]:
    """Texts of a chunk each of so many documents, or of all where there are fewer, by the documents' names.

    The same ones whenever the collection holds the same.
    """
    of_tenant = Equals(Field("tenant"), tenant)
    places = sorted((row["source"], row["chunk_id"]) for row in collection.scan(of_tenant, ["source", "chunk_id"]))
    chance = random.Random(0)
    chance.shuffle(places)
    documents = sorted(dict(places).items())  # a chunk each, the last of its document in the shuffled order
    ids = [chunk_id for _, chunk_id in chance.sample(documents, min(count, len(documents)))]
    return {
        row["source"]: row["text"]
        for some in one_of_each(Field("chunk_id"), ids)
        for row in collection.scan(And((of_tenant, some)), ["source", "text"])
    }

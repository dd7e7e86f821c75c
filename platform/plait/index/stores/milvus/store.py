"""Milvus as a store: its collections and aliases."""

from collections.abc import Mapping
from dataclasses import dataclass

from plait.index.stores.milvus.collection import MilvusCollection
from plait.index.stores.milvus.connection import Milvus
from plait.index.stores.milvus.schema import collection_indexes, collection_schema
from plait.index.stores.store import Capability, Schema
from plait.settings import settings


@dataclass(frozen=True)
class MilvusStore:
    """A Milvus server as a `Store`."""

    milvus: Milvus

    @property
    def address(self) -> str:
        return self.milvus.uri

    @property
    def product(self) -> str:
        return f"Milvus {self.milvus.version}"

    @property
    def capabilities(self) -> frozenset[Capability]:
        if self.milvus.is_embedded:
            return frozenset({"bm25"})
        of_servers: frozenset[Capability] = frozenset({"indexes_as_written", "many_writers"})
        return of_servers if self.milvus.is_before_2_5 else of_servers | {"bm25"}

    def check_answers(self, timeout_s: float) -> None:
        with self.milvus.answering("answer") as client:
            client.get_server_version(timeout=timeout_s)

    def open(self, collection: str) -> MilvusCollection | None:
        with self.milvus.answering(f"describe collection '{collection}'") as client:
            if not client.has_collection(collection, timeout=settings().milvus_timeout_s):
                return None
            about = client.describe_collection(collection, timeout=settings().milvus_timeout_s)
        return MilvusCollection.described(self.milvus, about)

    def create(self, collection: str, schema: Schema, properties: Mapping[str, str]) -> MilvusCollection:
        from pymilvus.exceptions import MilvusException

        with self.milvus.answering(f"create collection '{collection}'") as client:
            made = collection_schema(schema, self.milvus.is_before_2_5)
            try:
                client.create_collection(
                    collection,
                    schema=made,
                    index_params=collection_indexes(client, schema),
                    properties=dict(properties),
                    timeout=settings().milvus_timeout_s,
                )
            except MilvusException:
                created_meanwhile = self.open(collection)
                if created_meanwhile is None:
                    raise
                return created_meanwhile
        fields = frozenset(field.name for field in made.fields)
        return MilvusCollection(self.milvus, collection, fields, schema.dimension or 0)

    def drop(self, collection: str) -> None:
        with self.milvus.answering(f"drop '{collection}'") as client:
            client.drop_collection(collection, timeout=settings().milvus_timeout_s)

    def collections(self) -> dict[str, Mapping[str, str]]:
        with self.milvus.answering("list collections") as client:
            return {
                name: client.describe_collection(name, timeout=settings().milvus_timeout_s).get("properties", {})
                for name in client.list_collections(timeout=settings().milvus_timeout_s)
            }

    def collection_of(self, name: str) -> str | None:
        from pymilvus.exceptions import MilvusException

        with self.milvus.answering(f"look for collection '{name}'") as client:
            if not client.has_collection(name, timeout=settings().milvus_timeout_s):
                return None
            try:
                about = client.describe_alias(name, timeout=settings().milvus_timeout_s)
            except MilvusException:
                # The name is no alias (which servers say in different ways), or the server is too old for the question.
                about = client.describe_collection(name, timeout=settings().milvus_timeout_s)
        return str(about["collection_name"])

    def aliases(self, collection: str) -> list[str]:
        with self.milvus.answering(f"list the aliases of '{collection}'") as client:
            aliases: list[str] = client.list_aliases(collection, timeout=settings().milvus_timeout_s)["aliases"]
        return aliases

    def point(self, alias: str, collection: str) -> None:
        current = self.collection_of(alias)
        with self.milvus.answering(f"let '{alias}' be '{collection}'") as client:
            change = client.create_alias if current is None else client.alter_alias
            change(collection, alias, timeout=settings().milvus_timeout_s)

    def drop_alias(self, alias: str) -> None:
        with self.milvus.answering(f"drop '{alias}'") as client:
            client.drop_alias(alias, timeout=settings().milvus_timeout_s)

"""Finds out before anything starts whether `auto` can be routed as the arguments say."""

from plait.adapters.registry import Registry
from plait.errors import InvalidInput
from plait.index.collection import Index
from plait.index.stores.connect import connect_store
from plait.model_ids import ModelId
from plait.models.vectors import VectorKind
from plait.recipes import DEFAULT_EMBEDDING
from plait.serve.messages.arguments import AppArguments
from plait.serve.messages.routing_arguments import RoutingArguments
from plait.serve.routing.followed import PolicySource


def check_routing(how: RoutingArguments, arguments: AppArguments) -> None:
    """Load the policy once, and see that the application has what its arms need.

    Raises:
        ModelNotFound: when there is no such policy, or an adapter that it was learned with is gone.
        RecipeError: for a bad file of rules.
        InvalidInput: when it is no policy, or the application lacks what it needs.
    """
    loaded = PolicySource(how).load(None)
    policy = f"The routing policy '{loaded.name}'"
    if loaded.policy.vectors is not None:
        _check_embedding(policy, loaded.policy.vectors, arguments)
    for model in (*(arm.model for arm in loaded.policy.arms), how.fallback):
        asked = ModelId.parse(model)
        if asked.with_retrieval and arguments.retrieval is None:
            raise InvalidInput(
                f"{policy} may choose '{model}', and this application serves without retrieval.",
                "Set retrieval.collection, or take another policy.",
            )
        # Rules may name what the admin API loads later; what was learned from was registered.
        if loaded.version is not None and asked.adapter is not None and asked.adapter.version is not None:
            Registry().resolve(asked.adapter)


def _check_embedding(policy: str, kind: VectorKind, arguments: AppArguments) -> None:
    remedy = "Learn it from a comparison over this collection, or with --words-only."
    if arguments.embedding is None:
        raise InvalidInput(f"{policy} needs questions embedded, and this application has no embedding model.", remedy)
    model = arguments.embedding.model
    if model is None and arguments.retrieval is not None:
        there = Index.open(arguments.retrieval.collection, connect_store()).vectors
        if there != kind:
            raise InvalidInput(f"{policy} needs questions embedded by {kind}; here they are by {there}.", remedy)
    elif (model or DEFAULT_EMBEDDING) != kind.model:
        raise InvalidInput(
            f"{policy} needs questions embedded by {kind}; here they are by '{model or DEFAULT_EMBEDDING}'.", remedy
        )

"""What the routes of collections and their files ask, as one caller may.

In: names, files, and who asks. Out: how it stands with them. A route gets it by `Depends(documents)`. What a caller may
not change is refused here.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends
from ray.serve.handle import DeploymentHandle

from plait.documents.uploads import made_collections, uploaded_files
from plait.documents.uploads.attachments import Attachment, AttachmentOptions
from plait.documents.uploads.made_collections import MadeCollection
from plait.errors import Conflict, Forbidden, NotFound
from plait.index.passage import Passage
from plait.serve.api.caller import Caller, caller
from plait.serve.api.services import Deployments, deployments
from plait.serve.messages.arguments import RetrievalArguments
from plait.serve.messages.served_collections import ServedCollections


class Documents:
    """Collections and files, as one caller may change them. What names a collection raises besides:

    Raises:
        NotFound: for a collection that is not served, or where nothing is indexed here.
        Forbidden: for one that is not for this caller.
    """

    def __init__(self, deployments: Deployments, caller: Caller) -> None:
        self._retriever, self._indexer = deployments.retriever, deployments.indexer
        self._retrieval = deployments.arguments.retrieval
        self._caller = caller

    async def make(self, wanted: MadeCollection, files: Mapping[str, AttachmentOptions]) -> MadeCollection:
        """Make a collection for the caller's tenant, and put files into it.

        Raises:
            Forbidden: for a key that is bound to some collections.
            NotFound, InvalidInput: for a file that cannot be put there; then there is no collection.
            Conflict: when no more may be made, or something else is writing to the store.
        """
        if self._caller.reach.collections is not None:
            raise Forbidden(
                "This key is bound to collections, and so it may not make others.", "Ask with a key that is not."
            )
        made = wanted.model_copy(
            update={"id": made_collections.new_id(), "created_at": int(time.time()), "tenant": self._caller.tenant}
        )
        await self._there_is_an_index()[0].make_collection.remote(made, dict(files), self._caller.reach)
        return made_collections.find(made.id) or made

    async def changeable(self, name: str) -> MadeCollection:
        """A collection that clients made and that this caller may change or delete.

        Raises:
            Conflict: for one of the configuration.
            Forbidden: for one that is not of this key's tenant alone.
        """
        self._check(name)
        made = made_collections.find(name)
        if made is None:
            raise Conflict(
                f"The collection '{name}' is of the server's configuration.",
                "Only collections that were made by POST /v1/vector_stores are changed and deleted here.",
            )
        if not self._caller.reach.holds(made.of):
            raise Forbidden(
                f"The collection '{name}' is for every tenant, and this key is of one.", "Ask with a key of none."
            )
        return made

    async def change(self, changed: MadeCollection) -> MadeCollection:
        """Keep what is said of a collection from now on.

        Raises:
            NotFound: when it was deleted meanwhile.
        """
        self._check(changed.id)
        made_collections.write(changed)
        return made_collections.find(changed.id) or changed

    async def drop(self, name: str) -> None:
        """Delete a collection that clients made; its files stay."""
        await self.changeable(name)
        await self._there_is_an_index()[0].drop_collection.remote(name)

    async def attach(
        self, collection: str, wanted: Mapping[str, AttachmentOptions], batch: str | None = None
    ) -> list[Attachment]:
        """Put uploaded files into a collection; each is searchable once its state is `completed`.

        Raises:
            NotFound: when there is no such file; then none is put there.
            InvalidInput: for a file of an unknown format; likewise.
        """
        indexer = self._check(collection)
        attached: list[Attachment] = await indexer.attach.remote(collection, dict(wanted), self._caller.reach, batch)
        return attached

    async def attachment(self, collection: str, file_id: str) -> Attachment:
        """How it stands with a file of a collection.

        Raises:
            NotFound: when it is not in it.
        """
        indexer = self._check(collection)
        attachment: Attachment = await indexer.attachment.remote(collection, file_id, self._caller.tenant)
        return attachment

    async def attached(self, collection: str) -> list[Attachment]:
        """The uploaded files of a collection, newest first."""
        indexer = self._check(collection)
        attachments: list[Attachment] = await indexer.attached.remote(collection, self._caller.tenant)
        return attachments

    async def chunks(self, collection: str, file_id: str) -> list[Passage]:
        """What a collection holds of a file, in its order.

        Raises:
            NotFound: when the file is not in it.
        """
        attachment = await self.attachment(collection, file_id)
        source = uploaded_files.file(attachment.file_id).source
        retriever = self._there_is_an_index()[1]
        chunks: list[Passage] = await retriever.document.remote(collection, source, self._caller.tenant)
        return chunks

    async def cancel(self, collection: str, batch: str) -> None:
        """Let the files of a batch that are not indexed yet be in the collection no more."""
        await self._check(collection).cancel.remote(collection, batch, self._caller.tenant)

    async def detach(self, collection: str, file_id: str) -> None:
        """Take an uploaded file out of a collection.

        Raises:
            NotFound: when it is not in it.
        """
        await self._check(collection).detach.remote(collection, file_id, self._caller.tenant)

    async def delete_file(self, file_id: str) -> None:
        """Forget an uploaded file, and take it out of the collections that are served.

        Raises:
            NotFound: when there is none.
            Conflict: when yet another collection holds it.
            Forbidden: when one holds it that this caller may not change.
        """
        if self._indexer is None:  # no collection can hold it
            uploaded_files.file(file_id, self._caller.reach)
            await asyncio.to_thread(uploaded_files.delete, file_id)
            return
        await self._indexer.detach_and_delete.remote(file_id, self._caller.reach)

    def _check(self, collection: str) -> DeploymentHandle:
        """The indexer, for a collection that is served and for this caller."""
        self._caller.check_collection(collection)
        indexer, _, retrieval = self._there_is_an_index()
        ServedCollections(retrieval.collections).check(collection)
        return indexer

    def _there_is_an_index(self) -> tuple[DeploymentHandle, DeploymentHandle, RetrievalArguments]:
        if self._indexer is None or self._retriever is None or self._retrieval is None:
            raise NotFound("This application has no collection.", "Serve one: set retrieval.collection.")
        return self._indexer, self._retriever, self._retrieval


async def documents(
    there: Annotated[Deployments, Depends(deployments)], asking: Annotated[Caller, Depends(caller)]
) -> Documents:
    """Collections and files, as who asks may change them."""
    return Documents(there, asking)

"""Whose turn it is among files that wait to be indexed."""

import asyncio

from plait.documents.uploads.attachments import Attachment
from plait.serve.deployments.turns import Turns, key_of

MIB = 2**20


def attachment(tenant: str, file_id: str) -> Attachment:
    return Attachment(file_id=file_id, collection="docs", tenant=tenant, created_at=1, attributes={})


async def drained(turns: Turns, count: int, max_bytes: int | None = None) -> list[str]:
    return [(await turns.next(max_bytes)).file_id for _ in range(count)]


def test_tenants_take_turns_and_a_tenants_files_come_in_order() -> None:
    async def order() -> list[str]:
        turns = Turns()
        for file_id in ("a1", "a2", "a3", "b1", "b2", "c1"):
            await turns.put(attachment(file_id[0], file_id), 1)
        return await drained(turns, 6)

    assert asyncio.run(order()) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_small_files_pass_a_large_one_by() -> None:
    async def order() -> tuple[list[str], list[str]]:
        turns = Turns()
        await turns.put(attachment("a", "huge"), 100 * MIB)
        for file_id in ("small1", "small2"):
            await turns.put(attachment("a", file_id), 10)
        return await drained(turns, 2, max_bytes=MIB), await drained(turns, 1)

    assert asyncio.run(order()) == (["small1", "small2"], ["huge"])


def test_who_waits_for_small_files_is_not_given_a_large_one() -> None:
    async def waited() -> str:
        turns = Turns()
        await turns.put(attachment("a", "huge"), 100 * MIB)
        small = asyncio.create_task(turns.next(MIB))
        await asyncio.sleep(0.01)
        assert not small.done()
        await turns.put(attachment("b", "small"), MIB)
        return (await asyncio.wait_for(small, 1)).file_id

    assert asyncio.run(waited()) == "small"


def test_a_file_that_is_attached_anew_waits_once_and_one_taken_out_not_at_all() -> None:
    async def order() -> list[str]:
        turns = Turns()
        for file_id in ("a1", "a2", "a1", "a3"):
            await turns.put(attachment("a", file_id), 1)
        turns.drop(key_of(attachment("a", "a3")))
        turns.drop(key_of(attachment("nobody", "a3")))
        return await drained(turns, 2)

    assert asyncio.run(order()) == ["a2", "a1"]

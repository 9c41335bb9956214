"""API keys: only their hashes are kept."""

from __future__ import annotations

from sqlalchemy import ColumnElement, delete, insert, select, update

from antiphon.store.database import Database
from antiphon.store.paging import Order, check_page_size, fetch_page
from antiphon.store.records import ApiKeyRecord, Page
from antiphon.store.rows import key_record, key_row
from antiphon.store.tables import ApiKeyRow

_NEWEST_FIRST = Order((ApiKeyRow.__table__.c.created, ApiKeyRow.__table__.c.prefix), descending=True)


class KeyRepository:
    """All that can be asked about API keys and done to them. Every method may raise ``StoreError``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, key: ApiKeyRecord) -> None:
        """Store a new key; its prefix and its hash must be new."""
        async with self._database.write() as connection:
            await connection.execute(insert(ApiKeyRow), key_row(key))

    async def find(self, prefix: str) -> ApiKeyRecord | None:
        """The key with this prefix, revoked and expired ones included."""
        return await self._one(ApiKeyRow.prefix == prefix)

    async def find_by_hash(self, key_hash: str) -> ApiKeyRecord | None:
        """The key with this hash, revoked and expired ones included: the caller judges."""
        return await self._one(ApiKeyRow.key_hash == key_hash)

    async def all(self) -> tuple[ApiKeyRecord, ...]:
        """All keys, newest first, revoked and expired ones included."""
        query = select(ApiKeyRow).order_by(ApiKeyRow.created.desc(), ApiKeyRow.prefix.desc())
        async with self._database.read() as connection:
            return tuple(key_record(row) for row in (await connection.execute(query)).mappings())

    async def page(self, *, cursor: str | None = None, page_size: int | None = None) -> Page[ApiKeyRecord]:
        """One page of the keys, newest first.

        Raises:
            InvalidRequest: the cursor or the page size (1 to 100, default 20) is wrong.

        """
        size = check_page_size(page_size)
        async with self._database.read() as connection:
            return await fetch_page(
                connection, select(ApiKeyRow), _NEWEST_FIRST, key_record, cursor=cursor, page_size=size
            )

    async def revoke(self, prefix: str) -> bool:
        """Revoke a key for good. ``False`` where there is none with this prefix."""
        async with self._database.write() as connection:
            statement = update(ApiKeyRow).where(ApiKeyRow.prefix == prefix).values(revoked=True)
            return (await connection.execute(statement)).rowcount == 1

    async def delete(self, prefix: str) -> bool:
        """Remove a key. ``False`` where there is none with this prefix."""
        async with self._database.write() as connection:
            return (await connection.execute(delete(ApiKeyRow).where(ApiKeyRow.prefix == prefix))).rowcount == 1

    async def _one(self, condition: ColumnElement[bool]) -> ApiKeyRecord | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(ApiKeyRow).where(condition))).mappings().one_or_none()
        return None if row is None else key_record(row)

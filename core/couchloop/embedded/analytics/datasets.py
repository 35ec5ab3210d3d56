"""What the analytics service knows: dataverses, datasets, their indexes, links."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.syntax import Node

DEFAULT: Final = "Default"
"""The dataverse that is always there."""

LOCAL: Final = "Local"
"""The link of each dataverse to the cluster itself."""

METADATA: Final = "Metadata"
"""The dataverse of what is known."""


@dataclass(slots=True)
class Dataset:
    """Documents of a collection, as far as a condition holds."""

    dataverse: str
    name: str
    place: tuple[str, str, str]
    """Bucket, scope, collection."""
    link: str = LOCAL
    condition: Node | None = None
    indexes: dict[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    """The fields' paths by the indexes' names."""


@dataclass(slots=True)
class Dataverse:
    """A room for datasets and links."""

    name: str
    datasets: dict[str, Dataset] = field(default_factory=dict)
    links: dict[str, dict[str, str]] = field(default_factory=lambda: {LOCAL: {}})
    """Members of their forms by name, but for secrets."""
    connected: set[str] = field(default_factory=set)
    """Names of links."""


class Datasets:
    """Everything that the service knows."""

    def __init__(self) -> None:
        self.dataverses = {DEFAULT: Dataverse(DEFAULT)}

    def __iter__(self) -> Iterator[Dataset]:
        for dataverse in self.dataverses.values():
            yield from dataverse.datasets.values()

    def dataverse(self, name: str) -> Dataverse:
        """Return a dataverse. Raises QueryError (24034)."""
        found = self.dataverses.get(name)
        if found is None:
            raise QueryError(24034, f"Cannot find dataverse with name {name}")
        return found

    def create_dataverse(self, name: str, *, lenient: bool) -> None:
        """Create a dataverse. Raises QueryError (24039) unless *lenient*."""
        if name not in self.dataverses:
            self.dataverses[name] = Dataverse(name)
        elif not lenient:
            raise QueryError(24039, f"A dataverse with this name {name} already exists.")

    def drop_dataverse(self, name: str, *, lenient: bool) -> None:
        """Drop a dataverse with all in it. Raises QueryError (24034) unless *lenient*."""
        if name == DEFAULT:
            raise QueryError(24000, f"The dataverse {name} cannot be dropped")
        if name in self.dataverses or not lenient:
            del self.dataverses[self.dataverse(name).name]

    def find(self, dataverse: str, name: str) -> Dataset | None:
        """Return a dataset, None if there is none."""
        found = self.dataverses.get(dataverse)
        return None if found is None else found.datasets.get(name)

    def dataset(self, dataverse: str, name: str) -> Dataset:
        """Return a dataset. Raises QueryError (24025)."""
        found = self.find(dataverse, name)
        if found is None:
            text = f"Cannot find dataset with name {name} in dataverse {dataverse}"
            raise QueryError(24025, text)
        return found

    def create_dataset(self, dataset: Dataset, *, lenient: bool) -> None:
        """Create a dataset. Raises QueryError (24034, 24006; 24040 unless *lenient*)."""
        dataverse = self.dataverse(dataset.dataverse)
        self._link(dataverse, dataset.link)
        if dataset.name not in dataverse.datasets:
            dataverse.datasets[dataset.name] = dataset
        elif not lenient:
            text = f"A dataset with name {dataset.name} already exists "
            raise QueryError(24040, f"{text}in dataverse {dataset.dataverse}")

    def drop_dataset(self, dataverse: str, name: str, *, lenient: bool) -> None:
        """Drop a dataset. Raises QueryError (24025) unless *lenient*."""
        if self.find(dataverse, name) is not None or not lenient:
            self.dataset(dataverse, name)
            del self.dataverses[dataverse].datasets[name]

    def create_index(
        self, dataset: Dataset, name: str, fields: tuple[tuple[str, ...], ...], *, lenient: bool
    ) -> None:
        """Create an index. Raises QueryError (24048) unless *lenient*."""
        if name not in dataset.indexes:
            dataset.indexes[name] = fields
        elif not lenient:
            raise QueryError(24048, f"An index with this name {name} already exists.")

    @staticmethod
    def drop_index(dataset: Dataset, name: str, *, lenient: bool) -> None:
        """Drop an index. Raises QueryError (24047) unless *lenient*."""
        if dataset.indexes.pop(name, None) is None and not lenient:
            raise QueryError(24047, f"Cannot find index with name {name}")

    # --- links ----------------------------------------------------------------------------------

    @staticmethod
    def _link(dataverse: Dataverse, name: str) -> None:
        if name not in dataverse.links:
            raise QueryError(24006, f"Link {dataverse.name}.{name} does not exist")

    def connect(self, dataverse_name: str, name: str, *, connected: bool) -> None:
        """Connect or disconnect a link. Raises QueryError (24034, 24006)."""
        dataverse = self.dataverse(dataverse_name)
        self._link(dataverse, name)
        if connected:
            dataverse.connected.add(name)
        else:
            dataverse.connected.discard(name)

    def put_link(
        self, dataverse_name: str, name: str, members: dict[str, str], *, replace: bool
    ) -> None:
        """Create a link, or replace one. Raises QueryError (24034, 24055, 24006)."""
        dataverse = self.dataverse(dataverse_name)
        if replace:
            self._link(dataverse, name)
        elif name in dataverse.links:
            raise QueryError(24055, f"Link {dataverse_name}.{name} already exists")
        dataverse.links[name] = members

    def drop_link(self, dataverse_name: str, name: str) -> None:
        """Drop a link. Raises QueryError (24034, 24006)."""
        dataverse = self.dataverse(dataverse_name)
        self._link(dataverse, name)
        if name == LOCAL:
            raise QueryError(24000, f"The link {name} cannot be dropped")
        del dataverse.links[name]
        dataverse.connected.discard(name)

    def links(self) -> Iterator[tuple[str, str, dict[str, str]]]:
        """Return dataverse, name and members of each link that was made."""
        for dataverse in self.dataverses.values():
            for name, members in dataverse.links.items():
                if name != LOCAL:
                    yield dataverse.name, name, members

    # --- what is known ----------------------------------------------------------------------------

    def metadata(self, name: str) -> list[dict[str, Any]] | None:
        """Return the rows of a dataset of the dataverse `Metadata`; None: there is none such."""
        if name == "Dataverse":
            return [{"DataverseName": each} for each in (*self.dataverses, METADATA)]
        if name == "Dataset":
            return [_dataset_row(each) for each in self]
        if name == "Index":
            return [row for each in self for row in _index_rows(each)]
        if name == "Link":
            return [
                {
                    "DataverseName": dataverse.name,
                    "Name": link,
                    "IsActive": link in dataverse.connected,
                }
                for dataverse in self.dataverses.values()
                for link in dataverse.links
            ]
        return None


def _dataset_row(dataset: Dataset) -> dict[str, Any]:
    bucket, scope, collection = dataset.place
    return {
        "BucketName": bucket,
        "CollectionName": collection,
        "DatasetName": dataset.name,
        "DatasetType": "INTERNAL",
        "DataverseName": dataset.dataverse,
        "LinkName": dataset.link,
        "ScopeName": scope,
    }


def _index_rows(dataset: Dataset) -> Iterator[dict[str, Any]]:
    common = {"DatasetName": dataset.name, "DataverseName": dataset.dataverse}
    yield {**common, "IndexName": dataset.name, "IsPrimary": True, "SearchKey": []}
    for name, fields in dataset.indexes.items():
        key = [list(path) for path in fields]
        yield {**common, "IndexName": name, "IsPrimary": False, "SearchKey": key}

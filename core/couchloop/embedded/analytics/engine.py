"""Runs the statements of analytics: the same language as queries, over datasets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from couchloop.embedded.analytics.datasets import DEFAULT, LOCAL, METADATA, Dataset, Datasets
from couchloop.embedded.analytics.definitions import Reader
from couchloop.embedded.sqlpp.compiler import META, Compiler, Evaluate, Row
from couchloop.embedded.sqlpp.documents import Found, Keyspace
from couchloop.embedded.sqlpp.engine import Answer, Order
from couchloop.embedded.sqlpp.environment import PAUSE, STEPS, TURN, Environment
from couchloop.embedded.sqlpp.errors import FunctionError, QueryError, too_deep, unsupported
from couchloop.embedded.sqlpp.planner import Planner
from couchloop.embedded.sqlpp.scopes import Scope, ScopedSubquery, qualify
from couchloop.embedded.sqlpp.session import Session
from couchloop.embedded.sqlpp.sources import located
from couchloop.embedded.sqlpp.statements import KeyspacePath, Select
from couchloop.embedded.sqlpp.syntax import Node
from couchloop.embedded.sqlpp.values import truth
from couchloop.embedded.topology.cluster import Cluster

_TIMED_OUT: Final = 21002
_COMPILATION: Final = 24000
_INTERNAL: Final = 25000
_UNAUTHORIZED: Final = 20001
_LENGTHS: Final = frozenset(range(1, 9))
_SYNTAX: Final = "syntax error"


class AllServes:
    """Analytics has all that it is asked for in its own order: no index is missed."""

    def serves(self, keyspace: Keyspace, alias: str, condition: Node | None) -> bool:  # noqa: ARG002
        """Return True."""
        return True

    def system_keyspace(self, name: str, session: Session) -> None:  # noqa: ARG002
        """Return None: there are none."""
        return


@dataclass(frozen=True, slots=True)
class _DatasetKeyspace(Keyspace):
    """A collection, as far as a dataset's condition holds."""

    keep: Evaluate | None = field(default=None, repr=False)
    alias: str = ""

    def scan(self) -> Iterator[Found]:
        """Return the documents that belong to the dataset."""
        for found in Keyspace.scan(self):
            row: Row = {self.alias: found.value, (META, self.alias): found.meta}
            if self.keep is None or truth(self.keep(row)):
                yield found


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyticsSession(Session):
    """Who runs a statement: names are those of datasets."""

    datasets: Datasets
    environment: Environment
    dataverse: str = DEFAULT

    @property
    def name_lengths(self) -> frozenset[int]:
        """How many parts a name may have: any, for a dataverse may have several."""
        return _LENGTHS

    def fixed_documents(self, path: KeyspacePath) -> list[Found] | None:
        """Return what is known, for a dataset of the dataverse `Metadata`."""
        if path.parts[:-1] != (METADATA,):
            return None
        rows = self.datasets.metadata(path.parts[-1])
        if rows is None:
            raise _unknown_dataset(METADATA, path)
        return [Found(str(index), row, {}) for index, row in enumerate(rows)]

    def keyspace(self, path: KeyspacePath, right: str) -> Keyspace:  # noqa: ARG002 - all read
        """Return the documents of a dataset. Raises QueryError."""
        dataverse, name = "/".join(path.parts[:-1]) or self.dataverse, path.parts[-1]
        dataset = self.datasets.find(dataverse, name)
        if dataset is None:
            raise _unknown_dataset(dataverse, path)
        if dataset.link != LOCAL:
            raise unsupported(f"a dataset at the link {dataset.link}")
        bucket_name, scope, collection_name = dataset.place
        bucket = self.cluster.buckets.get(bucket_name)
        collection = None if bucket is None else bucket.manifest.find(scope, collection_name)
        if bucket is None or collection is None:
            text = f"The bucket or collection of dataset {name} does not exist"
            raise QueryError(_COMPILATION, text)
        self._require(bucket_name, scope, collection_name)
        return _DatasetKeyspace(bucket, collection, self._condition(dataset), name)

    def _require(self, bucket: str, scope: str, collection: str) -> None:
        user = self.user
        if not (
            user.may_in_collection("SystemXattrWrite", bucket, scope, collection)
            or user.has_role("analytics_reader")
            or user.has_role("analytics_admin")
            or user.has_role("analytics_manager", bucket)
        ):
            raise QueryError(_UNAUTHORIZED, "Unauthorized user.")

    def _condition(self, dataset: Dataset) -> Evaluate | None:
        if dataset.condition is None:
            return None
        compiler = Compiler(self.environment, _no_subquery)
        scope = Scope().with_source(dataset.name)
        return located("filter", compiler.compile(qualify(dataset.condition, scope)))


class AnalyticsEngine:
    """Runs the statements of one cluster.

    Args:
        cluster: whose documents are read.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.datasets = Datasets()
        self.steps = STEPS
        """See `QuerySettings.steps`."""

        self.turn = TURN
        """Likewise."""

    def turns(self, order: Order, answer: Answer, dataverse: str = DEFAULT) -> Iterator[None]:
        """Run a statement; mistakes are in the answer, with this service's codes.

        Yields wherever other things may be done before it goes on.
        """
        answer.signature = {"*": "*"}
        environment = Environment(
            self._cluster.clock,
            self._cluster.generator,
            named=order.named,
            positional=order.positional,
            timeout=order.timeout,
            timeout_text=order.timeout_text,
            steps=self.steps,
            turn=self.turn,
        )
        try:
            for row in self._rows(order, dataverse, environment):
                if row is not PAUSE:
                    answer.rows.append(environment.shown(row))
                if environment.due:
                    yield
                    environment.begin_turn()
                    environment.check_time()
            environment.check_time()
        except QueryError as error:
            _fail(answer, translated(error, order.statement))
        except FunctionError as error:
            _fail(answer, translated(error.at("expression"), order.statement))
        except RecursionError:
            _fail(answer, translated(too_deep(running=True), order.statement))
        answer.warnings = environment.warnings
        answer.fetched = environment.fetched

    def _rows(self, order: Order, dataverse: str, environment: Environment) -> Iterator[object]:
        reader = Reader(order.statement, dataverse)
        statement = reader.read()
        if isinstance(statement, Node):
            environment.read(statement, order.statement)
        if isinstance(statement, Select):
            session = AnalyticsSession(
                self._cluster,
                order.user,
                AllServes(),
                datasets=self.datasets,
                environment=environment,
                dataverse=reader.dataverse,
            )
            yield from Planner(session, environment).select(statement, Scope()).rows({})
            return
        if order.readonly:
            raise QueryError(_COMPILATION, "A read-only request cannot change anything")
        user = order.user
        if not (user.has_role("analytics_admin") or user.may_in_bucket("SystemXattrWrite", "*")):
            raise QueryError(_UNAUTHORIZED, "Unauthorized user.")
        statement(self.datasets)


def _no_subquery(node: ScopedSubquery) -> Evaluate:
    line, column = node.place
    raise unsupported("a subquery in the condition of a dataset", line=line, column=column)


def _unknown_dataset(dataverse: str, path: KeyspacePath) -> QueryError:
    line, column = path.place
    name = path.parts[-1]
    text = f"Cannot find dataset {name} in dataverse {dataverse} nor an alias with name {name} "
    return QueryError(24045, f"{text}(in line {line}, at column {column})")


def _fail(answer: Answer, error: QueryError) -> None:
    answer.errors.append(error)
    answer.status = "timeout" if error.code == _TIMED_OUT else "fatal"


def translated(error: QueryError, statement: str) -> QueryError:
    """Return an error of the engine with the code and the words of analytics."""
    if 20000 <= error.code < 26000:
        return error
    if error.code == 1080:
        return QueryError(_TIMED_OUT, "Request timed out and will be cancelled", running=True)
    text = error.text.replace("embedded query service", "embedded analytics service")
    if text.startswith(_SYNTAX):
        _, _, token = text.partition(", at: ")
        found = f'"{token.removesuffix(" (reserved word)")}"' if token else "<EOF>"
        line = error.line or statement.count("\n") + 1
        column = error.column or len(statement.rpartition("\n")[2]) + 1
        shown = (statement.split("\n") or [""])[min(line, statement.count("\n") + 1) - 1]
        text = f"Syntax error: In line {line} >>{shown}<< Encountered {found} at column {column}. "
    code = _INTERNAL if error.running else _COMPILATION
    return QueryError(code, text, running=error.running)

"""Runs statements: text and arguments in, an answer out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from couchloop.embedded.access.users import User
from couchloop.embedded.sqlpp.administration import plan_administration
from couchloop.embedded.sqlpp.catalogue import ClusterCatalogue
from couchloop.embedded.sqlpp.definitions import DefinitionPlanner, constant_object
from couchloop.embedded.sqlpp.environment import PAUSE, STEPS, TURN, Environment
from couchloop.embedded.sqlpp.errors import FunctionError, QueryError, too_deep, unsupported
from couchloop.embedded.sqlpp.explain import Explainer
from couchloop.embedded.sqlpp.merges import MergePlanner
from couchloop.embedded.sqlpp.parser import parse
from couchloop.embedded.sqlpp.planner import Planner
from couchloop.embedded.sqlpp.prepared import (
    PreparedStatement,
    called,
    forgetting,
    from_plan,
    name_of,
    unknown,
)
from couchloop.embedded.sqlpp.scopes import Scope, qualify
from couchloop.embedded.sqlpp.session import Session
from couchloop.embedded.sqlpp.statements import (
    BuildIndexes,
    CreateIndex,
    Delete,
    DropIndex,
    Execute,
    Explain,
    Insert,
    ManageScope,
    Merge,
    Prepare,
    Select,
    Update,
)
from couchloop.embedded.sqlpp.syntax import Node
from couchloop.embedded.sqlpp.values import Value
from couchloop.embedded.topology.cluster import Cluster

_LONG: Final = 1 << 13
"""Characters of a statement that takes long to read, and then to plan."""

REFUSED: Final = object()
"""Stands for the signature of a statement that was refused before it ran."""


@dataclass(slots=True)
class QuerySettings:
    """How a query service was started: what holds where a request says nothing else."""

    readonly: bool = False
    """Whether it takes no statement that changes anything, whatever requests say."""
    timeout: float = 0.0
    """Seconds after which a statement fails at the latest; 0: never."""
    steps: int = STEPS
    """Rows, and other work, after which a statement fails likewise; 0: never."""
    turn: int = TURN
    """Steps after which a statement lets the loop go on with other things; 0: it never does."""
    pretty: bool = False
    signature: bool = True
    metrics: bool = True


@dataclass(slots=True)
class Order:
    """What is to be run."""

    user: User
    statement: str = ""
    prepared: str = ""
    """The name of one that was prepared; then there is no *statement*."""
    named: Mapping[str, Value] = field(default_factory=dict)
    positional: Sequence[Value] = ()
    bucket: str = ""
    """Of the query context."""
    scope: str = ""
    readonly: bool = False
    timeout: float = 0.0
    """Seconds; 0: for ever."""
    timeout_text: str = ""
    """The same as errors write it."""
    preserve_expiry: bool = False
    auto_execute: bool = False
    """Whether PREPARE runs the statement too."""
    plan: str = ""
    """What to make the prepared statement of, if its name is not known."""

    @property
    def context(self) -> str:
        """The query context as it was given; empty: none."""
        return f"default:{self.bucket}.{self.scope}" if self.bucket else ""


@dataclass(slots=True)
class Answer:
    """What came of a statement."""

    signature: Any = REFUSED
    rows: list[Value] = field(default_factory=list)
    errors: list[QueryError] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    status: str = "success"
    sorted: int = 0
    """Rows that an ORDER BY has sorted."""
    mutations: int = 0
    """Documents that were changed."""
    fetched: int = 0
    """Documents that were read, as far as anybody asks."""
    prepared: str = ""
    """The name under which the statement was prepared."""
    kind: str = ""
    """What it was: `SELECT`, `INSERT`, …"""
    began: str = ""
    """When it began, in UTC."""

    @property
    def ran(self) -> bool:
        """Whether it was not refused beforehand."""
        return self.signature is not REFUSED


@dataclass(slots=True)
class Plan:
    """A statement that can run."""

    signature: Any
    rows: Iterator[Value]
    prepared: str = ""
    """The name under which the statement was prepared, if it runs too."""


class Engine:
    """Runs the statements of one cluster.

    Args:
        cluster: whose documents are read and written.

    `catalogue` has the indexes that there are; see `ClusterCatalogue.requires_index`.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.settings = QuerySettings()
        self.catalogue = ClusterCatalogue(cluster)

    def run(self, order: Order) -> Answer:
        """Run a statement in one go; mistakes are in the answer."""
        answer = Answer()
        for _ in self.turns(order, answer):
            pass
        return answer

    def turns(self, order: Order, answer: Answer) -> Iterator[None]:
        """Run a statement; mistakes are in the answer.

        Yields wherever other things may be done before it goes on.
        """
        environment = Environment(
            self._cluster.clock,
            self._cluster.generator,
            named=order.named,
            positional=order.positional,
            timeout=order.timeout,
            timeout_text=order.timeout_text,
            steps=self.settings.steps,
            turn=self.settings.turn,
            user=order.user.name,
            node=self.catalogue.node,
        )
        try:
            if order.prepared:
                entry = self._entry(order.prepared, order)
                statement = entry.statement
                environment.read(statement, entry.text)
            else:
                statement = parse(order.statement)
                environment.read(statement, order.statement)
            is_long = len(order.statement) >= _LONG and self.settings.turn > 0
            if is_long:
                yield
            answer.kind = kind_of(statement)
            plan = self._plan(statement, order, environment)
            answer.prepared = plan.prepared
            answer.signature = plan.signature
            if is_long:
                yield
            for row in plan.rows:
                if row is not PAUSE:
                    answer.rows.append(environment.shown(row))
                if environment.due:
                    yield
                    environment.begin_turn()
                    environment.check_time()
            environment.check_time()
        except QueryError as error:
            self._fail(answer, error)
        except FunctionError as error:
            self._fail(answer, error.at("expression"))
        except RecursionError:
            self._fail(answer, too_deep(running=answer.ran))
        answer.errors += environment.errors
        answer.warnings = environment.warnings
        answer.sorted, answer.mutations = environment.sorted, environment.mutations
        if environment.errors and answer.status == "success":
            answer.status = "errors"

    @staticmethod
    def _fail(answer: Answer, error: QueryError) -> None:
        answer.errors.append(error)
        answer.status = "fatal"
        if not error.running:
            answer.signature = REFUSED

    def _plan(self, statement: Node, order: Order, environment: Environment) -> Plan:
        planner = Planner(self._session(order), environment)
        if isinstance(statement, Select):
            planned = planner.select(statement, Scope())
            return Plan(planned.signature, planned.rows({}))
        if (order.readonly or self.settings.readonly) and not isinstance(
            statement, Explain | Prepare | Execute
        ):
            text = "The server or request is read-only and cannot accept this write statement."
            raise QueryError(1000, text)
        forgotten = forgetting(statement)
        if forgotten is not None:
            keys = planner.select(forgotten, Scope()).rows
            return Plan(None, self._forgotten(keys({}), environment))
        if isinstance(statement, Insert | Update | Delete | Merge):
            mutations = MergePlanner(planner, preserve_expiry=order.preserve_expiry)
            change = mutations.plan(statement)
            return Plan(change.signature, change.rows())
        if isinstance(statement, CreateIndex | DropIndex | BuildIndexes):
            make_id = self._cluster.generator.uuid
            definitions = DefinitionPlanner(planner, self.catalogue.indexes, make_id)
            return Plan(None, definitions.plan(statement))
        if isinstance(statement, ManageScope):
            session = planner.session
            options = constant_object(statement.options, planner.compiler)
            return Plan(None, plan_administration(statement, session, options))
        if isinstance(statement, Explain):
            # What cannot run is refused before it is explained.
            self._plan(statement.statement, replace(order, readonly=False), environment)
            row = {"plan": self._explained(statement.statement, order), "text": statement.text}
            return Plan("json", iter([row]))
        if isinstance(statement, Prepare):
            return self._prepare(statement, order, environment)
        if isinstance(statement, Execute):
            return self._execute(statement, order, environment)
        raise unsupported(kind_of(statement))

    # --- prepared statements --------------------------------------------------------------------

    def _prepare(self, statement: Prepare, order: Order, environment: Environment) -> Plan:
        """Prepare a statement, and run it too if the request wants that."""
        plan = self._plan(statement.statement, replace(order, readonly=False), environment)
        entry = PreparedStatement(
            name_of(statement, order.context),
            order.context,
            statement.text,
            kind_of(statement.statement),
            statement.statement,
            plan.signature,
            order.user.name,
        )
        if not order.auto_execute:
            return Plan("json", self._prepared(entry, order))
        self.catalogue.prepared.add(entry)
        plan = self._plan(statement.statement, order, environment)
        return Plan(plan.signature, plan.rows, entry.name)

    def _forgotten(self, keys: Iterator[Value], environment: Environment) -> Iterator[Value]:
        for key in [each for each in keys if each is not PAUSE]:
            environment.mutations += self.catalogue.prepared.remove(key)
        yield from ()

    def _prepared(self, entry: PreparedStatement, order: Order) -> Iterator[Value]:
        self.catalogue.prepared.add(entry)
        yield entry.answer(self._explained(entry.statement, order))

    def _explained(self, statement: Node, order: Order) -> dict[str, Any]:
        return Explainer(self._session(order), self.catalogue.indexes).explain(statement)

    def _entry(self, name: str, order: Order) -> PreparedStatement:
        """Return a prepared statement, by its plan if its name is not known.

        Raises QueryError (4040).
        """
        prepared = self.catalogue.prepared
        entry = prepared.find(name, order.context)
        if entry is not None:
            return entry
        statement = from_plan(order.plan, name, order.context) if order.plan else None
        if statement is None:
            raise unknown(name, order.context)
        environment = Environment(self._cluster.clock, self._cluster.generator)
        self._prepare(statement, replace(order, auto_execute=True), environment)
        found = prepared.find(name, order.context)
        assert found is not None
        return found

    def _execute(self, statement: Execute, order: Order, environment: Environment) -> Plan:
        entry = self._entry(called(statement), order)
        if statement.using is not None:
            if order.named or order.positional:
                text = "Execution parameter error: "
                text += "cannot have both USING clause and request parameters"
                raise QueryError(5003, text)
            planner = Planner(self._session(order), environment)
            using = planner.compiler.compile(qualify(statement.using, Scope()))({})
            environment.named = using if isinstance(using, dict) else {}
            environment.positional = using if isinstance(using, list) else []
        return self._plan(entry.statement, order, environment)

    def _session(self, order: Order) -> Session:
        return Session(self._cluster, order.user, self.catalogue, order.bucket, order.scope)


_KINDS: Final[dict[type, str]] = {
    Select: "SELECT",
    Update: "UPDATE",
    Delete: "DELETE",
    Merge: "MERGE",
    Explain: "EXPLAIN",
    Prepare: "PREPARE",
    Execute: "EXECUTE",
    DropIndex: "DROP_INDEX",
    BuildIndexes: "BUILD_INDEX",
}


def kind_of(statement: Node) -> str:
    """Return what a statement is called: `SELECT`, `CREATE_INDEX` and so on."""
    if isinstance(statement, Insert):
        return "UPSERT" if statement.upsert else "INSERT"
    if isinstance(statement, CreateIndex):
        return "CREATE_PRIMARY_INDEX" if statement.primary else "CREATE_INDEX"
    if isinstance(statement, ManageScope):
        return f"{'CREATE' if statement.create else 'DROP'}_{statement.kind.upper()}"
    return _KINDS[type(statement)]

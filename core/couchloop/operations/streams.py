"""The streaming forms of operations, each a line: what `_multi` has, for any number of keys."""

from __future__ import annotations

from couchloop.operations.concatenate import append_multi, prepend_multi
from couchloop.operations.counter import counter_multi
from couchloop.operations.remove import remove_multi
from couchloop.operations.retrieve import exists_multi, get_multi
from couchloop.operations.store import insert_multi, replace_multi, upsert_multi
from couchloop.operations.streaming import Streaming
from couchloop.operations.touch import touch_multi

get_stream = Streaming(get_multi, "Fetch any number of documents.", __name__)
exists_stream = Streaming(
    exists_multi, "Return which of any number of documents are there.", __name__
)
upsert_stream = Streaming(
    upsert_multi, "Store any number of documents whether they exist or not.", __name__
)
insert_stream = Streaming(
    insert_multi, "Store any number of documents that must not exist yet.", __name__
)
replace_stream = Streaming(
    replace_multi, "Store any number of documents that must exist.", __name__
)
append_stream = Streaming(
    append_multi, "Put values behind the bytes of any number of documents.", __name__
)
prepend_stream = Streaming(
    prepend_multi, "Put values before the bytes of any number of documents.", __name__
)
remove_stream = Streaming(remove_multi, "Delete any number of documents.", __name__)
touch_stream = Streaming(touch_multi, "Set the expiry of any number of documents.", __name__)
counter_stream = Streaming(counter_multi, "Change any number of numbers.", __name__)

"""What the arguments of managers' calls mean, where a builder's docstring does not say it."""

from __future__ import annotations

from typing import Final

ARGUMENTS: Final = {
    "bucket_name": "the bucket's name.",
    "settings": "its name, and what is to change.",
    "scope_name": "the scope's name.",
    "collection_name": "the collection's name.",
    "username": "who logs in.",
    "userid": "who logs in.",
    "user": "who logs in, with its roles, groups and password.",
    "group": "its name, and the roles that its users have.",
    "group_name": "the group's name.",
    "new_password": "the password from now on; a Secret, or a text.",
    "domain": "who keeps the user's password: AuthDomain.Local or AuthDomain.External.",
    "domain_name": "who keeps the user's password: the cluster (`local`), or somebody else.",
    "name": "the bucket's name.",
    "max_expiry": (
        "how long its documents live at most; 0: as the bucket says; negative: for ever. None: it "
        "is not said."
    ),
    "history": "whether changes of its documents are kept apart. None: it is not said.",
    "bucket_password": "empty: servers have none any more.",
    "replicas": "copies of each document beside the active one.",
    "ram_quota": "MiB on each node.",
    "flush_enabled": "whether it may be flushed.",
    "sleep_interval": "seconds between two questions.",
    "design_doc_name": "the design document's name, without `_design/` and `dev_`.",
    "design_doc_data": "its name, and its views by name.",
    "namespace": "DesignDocumentNamespace.DEVELOPMENT or DesignDocumentNamespace.PRODUCTION.",
    "use_devmode": "whether it is one for development, `dev_…`.",
    "index": "its definition.",
    "index_name": "the index' name.",
    "function": "what it is called, runs and hears of.",
    "timeout": "seconds for all of it. None: as the option http_timeout says.",
    "retry_strategy": (
        "whether and when requests are tried again. None: as the Cluster or the Bucket says."
    ),
}
"""The generator of methods (`tools/methods.py`) adds these to docstrings."""

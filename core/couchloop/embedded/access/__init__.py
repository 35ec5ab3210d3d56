"""Who may do what in the embedded cluster, and how they show who they are."""

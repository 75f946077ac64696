"""Attribution methods: one signature, one conformance suite."""

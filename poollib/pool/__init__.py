"""Generic lending: pools of any kind of connection."""

"""The classifier behind the interfaces of other libraries. Each module loads its library; none is loaded from here."""

DROPS: tuple[str, ...]

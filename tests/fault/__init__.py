"""What must not hurt: kill, hang, flood, garbage, slow peers. Against real core processes, through the real API."""

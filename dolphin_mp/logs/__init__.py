"""What components say: from their streams through FIFOs to rotated files of JSON lines, and to people.

A component never waits for its output (`stream`), one process per system writes it down (`collector`), the
parent only keeps the pipes and that process (`keeper`), anybody reads the files (`reader`).
"""

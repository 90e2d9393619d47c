"""What every command stands on, without anything else of Failmodes: processes, terminal, errors, hashes and files."""

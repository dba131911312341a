"""The machine that a job runs on: devices, processes, clocks, energy, and which software is there."""

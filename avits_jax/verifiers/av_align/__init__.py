"""AV-Align: do onsets of the sound coincide with bursts of motion?"""

"""VideoReward: visual quality, motion quality and text alignment by Qwen2-VL-2B."""

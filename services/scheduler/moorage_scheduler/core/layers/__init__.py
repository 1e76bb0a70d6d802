"""llama.cpp: whole layers on GPUs and in RAM. Packing them is arithmetic, for one GPU and for a hundred."""

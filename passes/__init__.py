"""What is computed: every change a model goes through, from its file to native code; pure."""

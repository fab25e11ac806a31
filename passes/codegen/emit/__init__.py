"""The LLVM emitter for kernels: lowered loop functions → explicit SSA text."""

from passes.codegen.emit.kernel import BARRIER, EmittedKernel, emit_kernel, emit_module

__all__ = ["BARRIER", "EmittedKernel", "emit_kernel", "emit_module"]

/** What pip brings of PyTorch, and how to have another build of it.  Pure. */

export type TorchAdvice = "large" | "gpu" | "gpuLeftOut" | undefined;

/**
 * PyTorch's package on Linux is the one for NVIDIA GPUs, elsewhere the one without; undefined where nobody would want
 * another, or the user has told pip already what to take.
 */
export function torchAdvice(platform: NodeJS.Platform, hasGpu: boolean, pipArguments: readonly string[]): TorchAdvice {
  if (pipArguments.length > 0) return undefined;
  if (platform === "linux") return hasGpu ? "gpu" : "large";
  return platform === "win32" && hasGpu ? "gpuLeftOut" : undefined;
}

export const CPU_BUILDS = "https://download.pytorch.org/whl/cpu";
export const CUDA_BUILDS = "https://download.pytorch.org/whl/cu126";

/** For the setting `mosearch.server.pipArguments`. */
export function takingFrom(index: string): string {
  return JSON.stringify(["--extra-index-url", index]);
}

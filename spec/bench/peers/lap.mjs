// The clock of the benchmarks' node programs: CPU of the process with all its threads, wall time.
const cpu = () => {
  const u = process.cpuUsage();
  return (u.user + u.system) / 1e6;
};
const wall = () => Number(process.hrtime.bigint()) / 1e9;

export const begin = () => ({ cpu: cpu(), wall: wall() });
export const finish = (lap, n) =>
  console.log(`n=${n} cpu=${(cpu() - lap.cpu).toFixed(6)} wall=${(wall() - lap.wall).toFixed(6)}`);

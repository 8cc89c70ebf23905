export * from './index.js';

declare const offhook: typeof import('./index.js');
export default offhook;

//! One app: logs in, synchronises its list up and down, asks for states, and is told of changes and alarms.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use loggerhead_protocols::camera::message::Command;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, timeout};

use super::line::Line;
use crate::simulate::histogram::Histogram;
use crate::simulate::link::{Address, Target};
use crate::simulate::trust;

/// How long an app waits before it asks again for a data connection, where none was free.
const DOOR_PAUSE: Duration = Duration::from_millis(200);
/// Ids in one query. Source: the platform's list of commands.
const IDS_PER_QUERY: usize = 20;
/// Apps that log in and synchronise at a time, so that they do not overrun the queue of connections and the data ports.
const ENTERING_MAX: usize = 100;
/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// What all apps have in common.
pub(super) struct Plan {
    pub(super) target: Target,
    /// Of an account, without its number.
    pub(super) name: String,
    pub(super) password: String,
    /// What each app has.
    pub(super) cameras: Vec<String>,
    pub(super) camera_password: String,
    pub(super) poll: Duration,
    /// Before the first attempt to reconnect.
    pub(super) pause: Duration,
    /// How long the head-end may take to answer.
    pub(super) patience: Duration,
}

/// What all apps share.
pub(super) struct Course {
    plan: Plan,
    done: Mutex<Done>,
    entering: Semaphore,
    stop: watch::Sender<bool>,
}

/// What apps did together.
#[derive(Clone, Default)]
pub(super) struct Done {
    pub(super) logins: u64,
    /// Apps that logged in at least once.
    pub(super) apps: u64,
    /// Lists that were sent up and taken down to their last camera.
    pub(super) uploads: u64,
    pub(super) downloads: u64,
    /// Apps whose list came down, and those to which all of it came.
    pub(super) synchronised: u64,
    pub(super) whole: u64,
    pub(super) bound: u64,
    /// Times that no data connection was free.
    pub(super) doors_refused: u64,
    /// Answers about one camera, by their word.
    pub(super) states: BTreeMap<String, u64>,
    /// Changes of a state that were told unasked.
    pub(super) changes: u64,
    /// Alarms of simulated cameras that were told to apps with their whole list.
    pub(super) alarms: u64,
    pub(super) login: Histogram,
    pub(super) list: Histogram,
    pub(super) query: Histogram,
    /// From the moment at which a camera was to raise it.
    pub(super) alarm: Histogram,
    pub(super) errors: BTreeMap<String, u64>,
}

impl Course {
    /// Of apps that have done nothing yet.
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan, done: Mutex::default(), entering: Semaphore::new(ENTERING_MAX), stop: watch::Sender::new(false) }
    }

    /// What was done so far.
    pub(super) fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all apps to leave.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// A line for a terminal.
    pub(super) fn progress(&self) -> String {
        let done = self.done();
        format!("{} apps with their list, told of {} changes and {} alarms", done.whole, done.changes, done.alarms)
    }
}

/// The life of one app, until it is told to leave.
pub(super) async fn live(course: Arc<Course>, number: u32) {
    let mut stop = course.stop.subscribe();
    let mut app = App::new(course, number);
    loop {
        let error = tokio::select! {
            // A sender that is gone can tell nothing more: that is a stop as well.
            _ = stop.wait_for(|stop| *stop) => return,
            error = app.connection() => error,
        };
        *app.course.done().errors.entry(error).or_default() += 1;
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(app.pause) => app.pause = (app.pause * 2).min(PAUSE_MAX),
        }
    }
}

struct App {
    course: Arc<Course>,
    name: String,
    has_entered: bool,
    is_synchronised: bool,
    /// All of its list came down.
    is_whole: bool,
    /// Before the next attempt.
    pause: Duration,
    /// When each query left that is not answered.
    asked: VecDeque<Instant>,
}

impl App {
    fn new(course: Arc<Course>, number: u32) -> Self {
        let (name, pause) = (format!("{}{number}", course.plan.name), course.plan.pause);
        let asked = VecDeque::new();
        Self { course, name, has_entered: false, is_synchronised: false, is_whole: false, pause, asked }
    }

    /// One main connection from its beginning to its end: why it ended.
    async fn connection(&mut self) -> String {
        let error = match self.enter().await {
            Ok(main) => self.follow(main).await,
            Err(error) => error,
        };
        match error.downcast_ref::<std::io::Error>() {
            Some(cause) => format!("{error}: {}", trust::words(cause)),
            None => error.to_string(),
        }
    }

    /// Logs in, and synchronises the list where that was not done.
    async fn enter(&mut self) -> anyhow::Result<Line> {
        let course = Arc::clone(&self.course);
        let _place = course.entering.acquire().await?;
        let began = Instant::now();
        let connecting = timeout(course.plan.patience, Line::open(course.plan.target.clone()));
        let mut main = connecting.await.context("connect: no answer")?.context("connect")?;
        let replies = [Command::LoginOk, Command::LoginError];
        let (answer, body) = self.ask(&mut main, Command::Login, &self.credentials(), replies).await?;
        anyhow::ensure!(answer == Command::LoginOk, "refused: {body}");
        self.pause = course.plan.pause;
        self.asked.clear();
        {
            let mut done = course.done();
            done.login.record(began.elapsed());
            done.logins += 1;
            done.apps += u64::from(!std::mem::replace(&mut self.has_entered, true));
        }
        if !self.is_synchronised {
            let kept =
                body.split('|').next().and_then(|count| count.parse().ok()).context("LoginOk without a number")?;
            self.synchronise(&mut main, kept).await?;
        }
        Ok(main)
    }

    fn credentials(&self) -> String {
        format!("{}|{}", self.name, self.course.plan.password)
    }

    /// Sends the list up, where the server's is shorter, and takes it down as another phone of the account would.
    async fn synchronise(&mut self, main: &mut Line, kept: usize) -> anyhow::Result<()> {
        let course = Arc::clone(&self.course);
        if kept < course.plan.cameras.len() {
            let began = Instant::now();
            let mut data = self.data(main).await?;
            self.upload(&mut data).await?;
            let mut done = course.done();
            done.list.record(began.elapsed());
            done.uploads += 1;
        }
        let began = Instant::now();
        let mut data = self.data(main).await?;
        let list = self.download(&mut data).await?;
        let mut done = course.done();
        done.list.record(began.elapsed());
        done.downloads += 1;
        (self.is_synchronised, done.synchronised) = (true, done.synchronised + 1);
        self.is_whole = course.plan.cameras.iter().all(|camera| list.contains(camera));
        done.whole += u64::from(self.is_whole);
        Ok(())
    }

    /// A data connection, as soon as one is free.
    async fn data(&mut self, main: &mut Line) -> anyhow::Result<Line> {
        loop {
            let replies = [Command::ReturnDataSocketPort, Command::LoginError];
            let (answer, port) = self.ask(main, Command::CreatDataSocket, &self.credentials(), replies).await?;
            anyhow::ensure!(answer == Command::ReturnDataSocketPort, "refused a data connection: {port}");
            if port.is_empty() {
                self.course.done().doors_refused += 1;
                tokio::time::sleep(DOOR_PAUSE).await;
                continue;
            }
            let port = port.parse().context("a data port that is no number")?;
            let mut target = self.course.plan.target.clone();
            if let Address::Tcp { port: own, .. } = &mut target.address {
                *own = port;
            }
            let connecting = timeout(self.course.plan.patience, Line::open(target));
            return connecting.await.context("data connection: no answer")?.context("data connection");
        }
    }

    async fn upload(&mut self, data: &mut Line) -> anyhow::Result<()> {
        let course = Arc::clone(&self.course);
        let total = course.plan.cameras.len();
        let replies = [Command::UploadSucess, Command::UploadFail];
        for (camera, current) in course.plan.cameras.iter().zip(1..) {
            let body = format!("{camera}|{}|{current}|{total}", course.plan.camera_password);
            let (answer, body) = self.ask(data, Command::UploadCaramer, &body, replies).await?;
            anyhow::ensure!(body.ends_with(&format!("|{current}|{total}")), "other numbers came back");
            let mut done = course.done();
            if answer == Command::UploadSucess {
                done.bound += 1;
            } else {
                let reason = body.split('|').nth(1).unwrap_or_default();
                *done.errors.entry(format!("not bound: {reason}")).or_default() += 1;
            }
        }
        Ok(())
    }

    /// The names of the list that the server has.
    async fn download(&mut self, data: &mut Line) -> anyhow::Result<BTreeSet<String>> {
        let (mut list, mut number) = (BTreeSet::new(), "0".to_owned());
        let replies = [Command::DownloadSucess, Command::DownloadFail];
        loop {
            let (answer, body) = self.ask(data, Command::DownLoadCaramer, &number, replies).await?;
            anyhow::ensure!(answer == Command::DownloadSucess, "no list: {body}");
            // `id | password | state | current | total`; a password may hold bars.
            let fields = || body.rsplit('|');
            let (total, current) = (fields().next().unwrap_or_default(), fields().nth(1).unwrap_or_default());
            list.extend(body.split('|').next().map(str::to_owned));
            if current == total {
                return Ok(list);
            }
            anyhow::ensure!(current != number, "the list does not go on");
            current.clone_into(&mut number);
        }
    }

    /// Gives a command, and waits for one of its replies; what is told unasked is taken in meanwhile.
    async fn ask(
        &mut self,
        line: &mut Line,
        command: Command,
        body: &str,
        replies: [Command; 2],
    ) -> anyhow::Result<(Command, String)> {
        line.say(command, body).await.context("connection")?;
        let within = Instant::now() + self.course.plan.patience;
        loop {
            let heard = tokio::time::timeout_at(within, line.hear()).await.context("no answer")?;
            let (command, body) = heard.context("connection")?;
            if replies.contains(&command) {
                return Ok((command, body));
            }
            self.told(command, &body)?;
        }
    }

    /// Asks for states from time to time, and takes in what is told, until the connection ends: why.
    async fn follow(&mut self, mut main: Line) -> anyhow::Error {
        let mut polls = tokio::time::interval(self.course.plan.poll);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let went_on = tokio::select! {
                heard = main.hear() => {
                    heard.context("connection").and_then(|(command, body)| self.told(command, &body))
                }
                _ = polls.tick() => self.poll(&mut main).await,
            };
            if let Err(error) = went_on {
                return error;
            }
        }
    }

    async fn poll(&mut self, main: &mut Line) -> anyhow::Result<()> {
        let is_late = self.asked.front().is_some_and(|asked| asked.elapsed() > self.course.plan.patience);
        anyhow::ensure!(!is_late, "no answer about states");
        for ids in Arc::clone(&self.course).plan.cameras.chunks(IDS_PER_QUERY) {
            main.say(Command::CheckCaramerOnlineStatus, &ids.join(";")).await.context("connection")?;
            self.asked.push_back(Instant::now());
        }
        Ok(())
    }

    /// Takes in what was told.
    fn told(&mut self, command: Command, body: &str) -> anyhow::Result<()> {
        let mut done = self.course.done();
        if command == Command::ReturnCaramerOnlineStatus {
            let asked = self.asked.pop_front().context("states that nobody asked for")?;
            done.query.record(asked.elapsed());
            for (_, state) in body.split('|').filter_map(|pair| pair.rsplit_once(';')) {
                *done.states.entry(state.to_owned()).or_default() += 1;
            }
        } else if command == Command::PrushCaramerOnlineStatus {
            done.changes += 1;
        } else if command == Command::PrushCaramerAlarmInfo {
            let (camera, kind) = body.split_once(':').unwrap_or_default();
            // Others than the simulated cameras may raise alarms, which do not say when.
            let is_own = self.is_whole && self.course.plan.cameras.iter().any(|own| own == camera);
            if let Some(raised_ms) = kind.parse::<i64>().ok().filter(|_| is_own) {
                done.alarms += 1;
                let late_ms = jiff::Timestamp::now().as_millisecond().saturating_sub(raised_ms);
                done.alarm.record(Duration::from_millis(u64::try_from(late_ms).unwrap_or_default()));
            }
        } else {
            anyhow::bail!("{} where nobody asked for it", command.name());
        }
        Ok(())
    }
}
